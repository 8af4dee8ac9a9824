"""A handler that does nothing: what aiohttp, this machine and the generator take for an answer of so many bytes."""

import sys

from aiohttp import web


async def _answer(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * int(request.match_info["length"]), content_type="application/json")


def main() -> None:
    app = web.Application()
    app.router.add_get("/{length:[0-9]+}", _answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
