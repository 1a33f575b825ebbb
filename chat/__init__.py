"""Conversations: the log, the turns computed from it, its writers, and the clients' sockets."""
