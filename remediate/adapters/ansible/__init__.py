"""Runs phases with Ansible: the only importer of ansible_runner.

executor (the port) -> session (a pipe) -> supervisor (a process) -> ansible-runner -> launcher -> warm parent.
The supervisor is there so that nothing of Ansible outlives the program that asked for it.
"""
