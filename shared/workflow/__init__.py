"""The engine: which runs to do, how long they take, how they are packed into jobs, and the Snakemake that runs them."""
