"""What connects the stages and runs them: params, contracts, the training loop, the graph, the flows.

Nothing here imports a stage; stages are started by name, through DVC.
"""
