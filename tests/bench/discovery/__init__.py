"""Discovery beside `find` and `du`, on a local disk and behind a layer as slow as a NAS."""
