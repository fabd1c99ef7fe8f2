"""The agent's process, which `robo_al_agent.parent` starts and watches."""
