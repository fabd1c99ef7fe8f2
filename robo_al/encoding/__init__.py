"""The station between what an env shows and is sent, and the flat numbers that all others see."""
