"""A campaign's configuration: what it may say, how it is read, and what may change in it later."""
