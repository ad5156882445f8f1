"""The subcommands of `stm32pose`; nothing heavy is imported before it is needed."""
