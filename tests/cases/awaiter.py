import asyncio

import awaiter


async def add_one(number):
    await asyncio.sleep(0)
    return number + 1


async def cancelled():
    try:
        async with asyncio.timeout(0.005):
            await awaiter.measure(-1)
    except TimeoutError:
        return "stopped"


async def main():
    for _ in range(5):
        squares = (awaiter.measure(number) for number in range(20))
        sums = (awaiter.ask_back(add_one, number) for number in range(20))
        measured, asked, stopped = await asyncio.gather(
            asyncio.gather(*squares), asyncio.gather(*sums), cancelled()
        )
        assert measured == [number * number for number in range(20)], measured
        assert asked == list(range(1, 21)), asked
        assert stopped == "stopped"


futures = [awaiter.measure(number) for number in (1, 2, 3, -1)]
assert [future.result() for future in futures[:3]] == [1, 4, 9]
asyncio.run(main())
assert futures[3].cancel()
