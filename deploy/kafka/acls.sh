#!/bin/sh
# Gives the users of energy-totals their rights. Made from acls.yaml by `make acls`.
#
#   KAFKA_ACLS="kafka-acls.sh --bootstrap-server kafka:9093 --command-config admin.properties" \
#       ENERGY_PREFIX= sh acls.sh
#
# ENERGY_PREFIX as in the settings of workers and API. Running it again changes nothing.
set -eu
ENERGY_PREFIX=${ENERGY_PREFIX:-}
allow() {
    # shellcheck disable=SC2086 # a command with its options
    ${KAFKA_ACLS:-kafka-acls.sh --bootstrap-server localhost:9092} --add --force "$@" </dev/null
}
allow --allow-principal User:energy-worker --operation Read --operation DescribeConfigs --topic "${ENERGY_PREFIX}energy_consumption" --resource-pattern-type literal
allow --allow-principal User:energy-worker --operation Write --operation DescribeConfigs --topic "${ENERGY_PREFIX}energy_consumption_quarantine" --resource-pattern-type literal
allow --allow-principal User:energy-worker --operation Read --operation DescribeConfigs --topic "${ENERGY_PREFIX}energy_views" --resource-pattern-type literal
allow --allow-principal User:energy-worker --operation Read --operation Write --operation DescribeConfigs --topic "${ENERGY_PREFIX}energy-v" --resource-pattern-type prefixed
allow --allow-principal User:energy-worker --operation Read --group "${ENERGY_PREFIX}energy-v" --resource-pattern-type prefixed
allow --allow-principal User:energy-worker --operation Write --transactional-id "${ENERGY_PREFIX}energy-v" --resource-pattern-type prefixed
allow --allow-principal User:energy-worker --operation DescribeConfigs --cluster
allow --allow-principal User:energy-api --operation Write --topic "${ENERGY_PREFIX}energy_consumption" --resource-pattern-type literal
allow --allow-principal User:energy-api --operation Read --operation Write --topic "${ENERGY_PREFIX}energy_consumption_quarantine" --resource-pattern-type literal
allow --allow-principal User:energy-api --operation Read --operation Write --topic "${ENERGY_PREFIX}energy_imports" --resource-pattern-type literal
allow --allow-principal User:energy-api --operation Read --topic "${ENERGY_PREFIX}energy_views" --resource-pattern-type literal
allow --allow-principal User:energy-api --operation Read --operation DescribeConfigs --topic "${ENERGY_PREFIX}energy-v" --resource-pattern-type prefixed
allow --allow-principal User:energy-api --operation Write --transactional-id "${ENERGY_PREFIX}energy-import-keyed-" --resource-pattern-type prefixed
allow --allow-principal User:energy-api --operation Describe --group "${ENERGY_PREFIX}energy-keys-reader" --resource-pattern-type literal
allow --allow-principal User:energy-operator --operation Create --operation Alter --operation DescribeConfigs --operation Read --operation Write --topic "${ENERGY_PREFIX}energy_consumption" --resource-pattern-type literal
allow --allow-principal User:energy-operator --operation Create --operation Alter --operation DescribeConfigs --operation Read --operation Write --topic "${ENERGY_PREFIX}energy_consumption_quarantine" --resource-pattern-type literal
allow --allow-principal User:energy-operator --operation Create --operation DescribeConfigs --operation Read --operation Write --topic "${ENERGY_PREFIX}energy_views" --resource-pattern-type literal
allow --allow-principal User:energy-operator --operation Create --operation DescribeConfigs --operation Read --operation Write --topic "${ENERGY_PREFIX}energy_imports" --resource-pattern-type literal
allow --allow-principal User:energy-operator --operation Create --operation Alter --operation Delete --operation DescribeConfigs --operation Read --operation Write --topic "${ENERGY_PREFIX}energy-v" --resource-pattern-type prefixed
allow --allow-principal User:energy-operator --operation Read --operation Delete --group "${ENERGY_PREFIX}energy-v" --resource-pattern-type prefixed
allow --allow-principal User:energy-operator --operation Write --transactional-id "${ENERGY_PREFIX}energy-v" --resource-pattern-type prefixed
allow --allow-principal User:energy-operator --operation Write --transactional-id "${ENERGY_PREFIX}energy-import-requeue-" --resource-pattern-type prefixed
allow --allow-principal User:energy-operator --operation DescribeConfigs --cluster
allow --allow-principal User:energy-importer --operation Write --topic "${ENERGY_PREFIX}energy_consumption" --resource-pattern-type literal
allow --allow-principal User:energy-importer --operation Write --topic "${ENERGY_PREFIX}energy_consumption_quarantine" --resource-pattern-type literal
allow --allow-principal User:energy-importer --operation Read --operation Write --topic "${ENERGY_PREFIX}energy_imports" --resource-pattern-type literal
allow --allow-principal User:energy-importer --operation Write --transactional-id "${ENERGY_PREFIX}energy-import-" --resource-pattern-type prefixed
allow --allow-principal User:energy-importer --operation Read --topic "meter_archive" --resource-pattern-type literal
allow --allow-principal User:energy-device --operation Write --topic "${ENERGY_PREFIX}energy_consumption" --resource-pattern-type literal
