"""All private names of Faust that the project uses, and nothing else.

Each override says why it is there. tests/broker/test_faust_private_names.py goes red when an
upgrade moves one. Written against faust-streaming 0.15.3 and aiokafka 0.14.0.
"""
