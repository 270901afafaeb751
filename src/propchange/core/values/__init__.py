"""Values of state variables: data types, declarations, LastChange, merging."""
