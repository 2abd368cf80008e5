"""What a coroutine is cancelled for is taken by the next: nothing is lost, and all is in order."""

import asyncio
import itertools

import stream


async def take(numbers, count):
    taken = []
    while len(taken) < count:
        try:
            async with asyncio.timeout(0.001):
                while len(taken) < count:
                    taken.append(await numbers.get_async())
        except TimeoutError:
            pass
    return taken


async def main():
    numbers = stream.count_to(1500)
    assert await take(numbers, 500) == [*range(500)]
    many = await numbers.get_many_async(10)
    assert many == [*range(500, 500 + len(many))], many
    given = [number async for number in numbers]
    assert given == [*range(500 + len(many), 1500)], given

    batches = [memoryview(each).tolist() async for each in stream.count_to(500).batches_async(50)]
    assert [*itertools.chain(*batches)] == [*range(500)]

    async with asyncio.TaskGroup() as group:
        shared = stream.count_to(100)
        for _ in range(5):
            group.create_task(take(shared, 20))
    async for _ in stream.count_to(1_000_000_000):
        break  # its thread goes on until the channel is dropped


asyncio.run(main())
left = stream.count_to(1_000_000_000)
assert left.get() == 0
