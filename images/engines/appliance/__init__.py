"""The engine for file systems that only a kernel opens: a frozen virtual machine, resumed."""
