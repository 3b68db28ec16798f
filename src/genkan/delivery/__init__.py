"""
Bring messages to people: what they say, and the channels they leave by.

Knows nothing of flows, storage or protocols: it is handed leased outbox rows and says which it has passed on.
"""
