"""
Administration: every change that an administrator can ask for, once, for the HTTP API, the command line and imports.

The shape. A `Door` (door.py) is a tenant's way in. Each act is one function of the room of its noun, and takes the
door, who is asking, and values:

    await people.add(door, actor, NewPerson(identities=(Identity("emailAddress", "", "ada@example.com"),)))

It returns what it made or changed, or a `Refusal` (a value: why, in a word and in a sentence). Whichever it is, one
audit row that says who, what, before and after is committed in the same transaction as the change; a refused act has
written that row alone. Names of properties are those of Graph, for there is no reason to have two sets of them.

Rooms: `people` (with their methods, sessions and risk), `groups`, `applications`, `policies` (with locations,
contexts, strengths, methods and tenant switches). Reading needs no act: the store's
`people`, `groups`, `members`, `audits`, `sign_ins`, and `directory` for all that is configured.

Knows no HTTP, no command line and no SQL. No secret and no address in clear enters the audit log (LOG-01).
Source: admin-graph-api 5, 6; product 3.1; ADM-04, ADM-07, LOG-05.
"""
