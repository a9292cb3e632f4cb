"""What is measured on a graph: gradients by step and by route, gates, Jacobians, what died.

May import `graph`, `style` and `reading`.
"""
