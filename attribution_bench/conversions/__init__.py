"""What other packages take, made of a result's arrays; each package is imported where its own type is asked for."""
