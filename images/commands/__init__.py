"""Docker's image commands, each as a kind of job: one module a command, with the operation and what starts it.

A form in images/forms/commands/ asks for what a command needs; images/apps.py loads the modules.
"""
