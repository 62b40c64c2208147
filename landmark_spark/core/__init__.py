"""The thinking: pure functions over arrays and plain values. No Spark, no configuration, no path of the store."""
