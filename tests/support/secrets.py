"""What must reach neither a client nor the log, and how a leak of any part of it is found."""

KEY = "sk-fake-0123456789abcdef"
ORGANISATION = "org-Zq7Wm4Kd2Xv9Tb"
INTERNAL_HOST = "gpu-17.inference.internal"
UPSTREAM_WORDS = "Vexed walruses mumble"
SECRETS = (KEY, ORGANISATION, INTERNAL_HOST, UPSTREAM_WORDS)
NEVER_LOGGED = (KEY, ORGANISATION, INTERNAL_HOST)  # What the server says is for the operator, without these.

PART = 8  # Characters: a shorter piece is found in innocent text, a longer one would let half a key pass.


def leaks(text: str, secrets: tuple[str, ...] = SECRETS) -> list[str]:
    """The parts of secrets, eight characters long, that stand in the text."""
    parts = (secret[at : at + PART] for secret in secrets for at in range(len(secret) - PART + 1))
    return [part for part in parts if part in text]
