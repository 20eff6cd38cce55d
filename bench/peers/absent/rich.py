"""
As it is where the product is installed: there is no rich.

Development tools bring it into this environment, and structlog imports it wherever it is.
"""

raise ImportError("not here for the benchmark", name="rich")
