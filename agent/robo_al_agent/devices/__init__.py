"""How a driver is called: every call guarded, every reading checked, one owner of each device."""
