import asyncio

import robot_arm


async def may_move(direction, degrees):
    await asyncio.sleep(0)  # it may await what it likes
    return direction == "left" and degrees <= 90


async def main():
    async with asyncio.timeout(10):
        print(await robot_arm.move_to(90.0))
    async with asyncio.TaskGroup() as group:
        for read in (robot_arm.temperature, robot_arm.weigh):
            group.create_task(show(read))
    print(await robot_arm.ask(may_move))
    print(await robot_arm.count_answers(may_move))
    try:
        await robot_arm.move_to(360.0)
    except ValueError as error:
        print(error)


async def show(read):
    print(await read())


asyncio.run(main())
print(robot_arm.move_to(-45.0).result())  # no loop runs here: a concurrent.futures.Future
