"""Environments over HTTP: a server that exposes any of them, and a client that is a `TextEnv`.

wire (errors and answers) -> thread -> session -> sessions -> messages, guard -> app -> server, run by `itp serve-env`
wire -> connection -> client, made by `itp.make_env("http://...")`

Only `messages`, `guard`, `app` and `server` need the extra `serve`; the client needs nothing beyond the package.
"""
