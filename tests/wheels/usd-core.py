"""Builds stages in four threads, hears notices in Python, reads and flattens layers."""

from concurrent.futures import ThreadPoolExecutor

from pxr import Gf, Plug, Sdf, Tf, Usd, UsdGeom


def work(n):
    stage, heard = Usd.Stage.CreateInMemory(), []
    listener = Tf.Notice.Register(
        Usd.Notice.ObjectsChanged, lambda notice, _: heard.append(notice.GetStage() == stage), stage
    )
    for i in range(50):
        ball = UsdGeom.Sphere.Define(stage, f"/World/Ball{i}")
        ball.GetRadiusAttr().Set(1.0 + i * n)
        UsdGeom.XformCommonAPI(ball).SetTranslate(Gf.Vec3d(i, n, 0))
    listener.Revoke()
    box = UsdGeom.BBoxCache(Usd.TimeCode.Default(), ["default"])
    size = box.ComputeWorldBound(stage.GetPrimAtPath("/World")).ComputeAlignedRange().GetSize()
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.ImportFromString(stage.Flatten().ExportToString())
    return len(heard), all(heard), list(size), len(layer.GetPrimAtPath("/World").nameChildren)


# USD makes what it needs first, once, and lets go of the GIL in it: two threads that begin together
# wait for each other.
Usd.Stage.CreateInMemory()
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(work, range(8)), sep="\n")
print(len(Plug.Registry().GetAllPlugins()) > 3, Tf.Type.FindByName("UsdGeomSphere").typeName)
try:
    Usd.Stage.Open("nowhere.usda")
except Tf.ErrorException as error:
    print(type(error).__name__)
