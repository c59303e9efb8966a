"""The command `energy`: options in, text and an exit code out; decides nothing itself."""
