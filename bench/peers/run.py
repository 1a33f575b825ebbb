"""Becomes a peer, in the folder HOME: `python bench/peers/run.py PYTHON ARGUMENTS`. What it imports would cost time."""

import os
import sys

os.chdir(os.environ["HOME"])
os.execv(sys.argv[1], sys.argv[1:])
