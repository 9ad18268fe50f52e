"""What ties everything together: the command line, studies, tables and reports."""
