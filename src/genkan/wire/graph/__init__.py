"""
Graph's dialect: the administration API, which the unmodified `msgraph-sdk` drives.

`tokens` gives a confidential client its token, `api` finds the route and the tenant and checks what the token allows,
and a file for each noun reads requests and writes answers. What a change is, and whether it is lawful, says
`service.admin`; here are only its words. Source: admin-graph-api.
"""
