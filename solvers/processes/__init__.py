"""Solves in other processes: on an executor of the user's, or in processes of ours that may be killed."""
