"""
Pages for people at a browser, and the endpoints that exist in development mode only.

Knows no web framework: a page or an endpoint is a function from a request to a response. Reaches what it shows through
the protocols it declares itself, never through delivery or the store.
"""
