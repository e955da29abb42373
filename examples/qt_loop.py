# SPDX-License-Identifier: MIT
"""An AioContext in Qt's event loop (PySide6)."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QObject, QSocketNotifier, Qt, QTimer

import tpool


class AioNotifier(QObject):
    """Turns the context when its fd, or a timer of it, is due."""

    def __init__(self, ctx: tpool.AioContext) -> None:
        super().__init__()
        self._ctx = ctx
        self._fd = QSocketNotifier(ctx.fileno(), QSocketNotifier.Type.Read, self)
        self._fd.activated.connect(self.turn)
        self._timer = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.turn)
        self.turn()

    def turn(self) -> None:
        """Dispatch what has come, and wait for more."""
        self._ctx.check()
        self._ctx.dispatch()
        timeout_ns = self._ctx.prepare()  # polls, if requests are in flight
        if timeout_ns < 0:
            self._timer.stop()
        else:
            # Qt counts milliseconds; rounded up, so that it does not turn in vain.
            self._timer.start(-(-timeout_ns // 1_000_000))


def main() -> None:
    app = QCoreApplication([])
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        notifier = AioNotifier(ctx)

        def done(request: tpool.Request[int]) -> None:
            print(request.result())
            app.quit()

        pool.submit(sum, range(10)).add_done_callback(done)
        notifier.turn()  # polls for it
        app.exec()
        del notifier


if __name__ == "__main__":
    main()
