"""What happens while a function is traced: calls become values, and what leaves is seen.

May import `minigrad.compiled.graph`.
"""
