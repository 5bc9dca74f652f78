// Only carries the precompiled torch headers that every other target reuses.
