"""The whole system on one machine: it starts the programs as anybody would, watches them, and checks what they did."""
