import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * The same job on Kafka Streams: readings -> the sum of each device, in RocksDB and a changelog.
 *
 * <p>Arguments: servers, topic, application id, guarantee, state directory.
 *
 * <p>It does less than ours: readings are decoded but not validated, the key is taken for the
 * device, a sum is a double, and a bad record would end it. Configured for throughput as far as
 * that costs no guarantee:
 *
 * <ul>
 *   <li>a thread for each core; more were slower with the broker on the same two;
 *   <li>a cache that holds all dirty sums, so a sum is written once for each commit;
 *   <li>a commit each second in place of the 100 ms that exactly_once_v2 has by default: larger
 *       transactions, fewer changelog records. (Ours waits up to 3 s while it is far behind.)
 *   <li>large fetches and polls, large producer batches that may wait 50 ms;
 *   <li>keys stay bytes; no repartition topic, since the readings are keyed by device.
 * </ul>
 */
public final class StreamsTotals {
  /** A reading, all four fields decoded. */
  public static final class Reading {
    public String timestamp;
    public String device_id;
    public double energy_consumed;
    public String location;
  }

  public static void main(String[] arguments) throws InterruptedException {
    Properties settings = settings(arguments);
    ObjectReader reader =
        new ObjectMapper()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .readerFor(Reading.class);
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(arguments[1], Consumed.with(Serdes.Bytes(), Serdes.ByteArray()))
        .groupByKey()
        .aggregate(
            () -> 0.0,
            (device, value, total) -> total + decode(reader, value).energy_consumed,
            Materialized.<Bytes, Double, KeyValueStore<Bytes, byte[]>>as("totals")
                .withKeySerde(Serdes.Bytes())
                .withValueSerde(Serdes.Double()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    CountDownLatch stopped = new CountDownLatch(1);
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.RUNNING) {
            System.out.println("fetching");
          } else if (now.hasCompletedShutdown()) {
            stopped.countDown();
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    stopped.await();
  }

  private static Properties settings(String[] arguments) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[2]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[3]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads());
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Integer.getInteger("commit", 1000));
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 512L << 20);
    settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    settings.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 10_000);
    settings.put(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 4 << 20);
    settings.put(ProducerConfig.BATCH_SIZE_CONFIG, 512 << 10);
    settings.put(ProducerConfig.LINGER_MS_CONFIG, 50);
    settings.put(ProducerConfig.BUFFER_MEMORY_CONFIG, 256L << 20);
    return settings;
  }

  private static int threads() {
    return Integer.getInteger("threads", Runtime.getRuntime().availableProcessors());
  }

  private static Reading decode(ObjectReader reader, byte[] value) {
    try {
      return reader.readValue(value);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
