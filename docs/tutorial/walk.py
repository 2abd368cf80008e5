"""Takes three steps with the robot."""

from robot import Robot

robot = Robot()
for _ in range(3):
    robot.step()
print(robot.steps, "steps")
