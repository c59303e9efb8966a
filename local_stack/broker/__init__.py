"""A local Apache Kafka broker: its Java, its properties, its storage, its process."""
