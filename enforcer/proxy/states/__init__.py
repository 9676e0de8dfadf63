"""The named states of an exchange and of a connection's input, with the events that change them."""
