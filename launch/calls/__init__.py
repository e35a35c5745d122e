"""What the commands on labelled calls share: extraction of features of every layer."""
