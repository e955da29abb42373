# SPDX-License-Identifier: MIT
"""An AioContext as a source of GLib's main loop, as in QEMU."""

from __future__ import annotations

from gi.repository import GLib

import tpool


class AioSource(GLib.Source):
    """A source that turns the context when its fd, or a timer of it, is due."""

    def __init__(self, ctx: tpool.AioContext) -> None:
        super().__init__()
        self._ctx = ctx
        self.add_unix_fd(ctx.fileno(), GLib.IOCondition.IN)

    def prepare(self) -> tuple[bool, int]:
        timeout_ns = self._ctx.prepare()  # polls, if requests are in flight
        # GLib counts milliseconds; rounded up, so that it does not turn in vain.
        return timeout_ns == 0, -1 if timeout_ns < 0 else -(-timeout_ns // 1_000_000)

    def check(self) -> bool:
        return self._ctx.check()

    def dispatch(self, callback: object, args: object) -> bool:
        self._ctx.dispatch()
        return GLib.SOURCE_CONTINUE


def main() -> None:
    loop = GLib.MainLoop()
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        source = AioSource(ctx)
        source.attach()

        def done(request: tpool.Request[int]) -> None:
            print(request.result())
            loop.quit()

        pool.submit(sum, range(10)).add_done_callback(done)
        loop.run()
        source.destroy()


if __name__ == "__main__":
    main()
