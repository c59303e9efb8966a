"""Raw record batches of aiokafka as chunks: a whole fetch at once instead of record by record.

A leaf beside contract/. All private names of aiokafka that the project uses are in here, held
by tests/broker/test_aiokafka_private_names.py.
"""
