"""Who executes candidates: simulation, any Gymnasium env in a process of its own."""
