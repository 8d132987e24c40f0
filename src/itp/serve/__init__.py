"""Decisions over HTTP: messages, sessions -> app, run by `itp serve`. `itp.Agent` decides."""
