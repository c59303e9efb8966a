"""The commands of `energy`, one module for each group: options, output, nothing else.

They take the environment from the invocation, do their work through the rooms below, and
import those inside, so that `energy --help` is quick.
"""
