"""Tables, token views and quotations, masked by default, and the panel that opens a notebook."""
