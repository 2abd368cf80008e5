"""Runs a server and a client, with handlers in a pool and callbacks on threads of gRPC."""

import queue
from concurrent.futures import ThreadPoolExecutor

import grpc


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/unary":
            return grpc.unary_unary_rpc_method_handler(lambda request, _: request[::-1])
        return grpc.stream_stream_rpc_method_handler(lambda requests, _: (2 * r for r in requests))


server = grpc.server(ThreadPoolExecutor(4), handlers=(Handler(),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()

answered, states = queue.SimpleQueue(), queue.SimpleQueue()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    channel.subscribe(states.put, try_to_connect=True)
    while states.get() != grpc.ChannelConnectivity.READY:
        pass
    unary, stream = channel.unary_unary("/unary"), channel.stream_stream("/stream")
    for n in range(100):
        unary.future(b"%03d" % n).add_done_callback(lambda call: answered.put(call.result()))
    print(sorted(answered.get() for _ in range(100))[:10])
    print(b" ".join(stream(b"%d" % n for n in range(100)))[:40])
server.stop(None).wait()
