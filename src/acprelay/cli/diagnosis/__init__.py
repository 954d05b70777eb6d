"""What `acprelay doctor` looks at: facts about the machine, and what is to be made of them."""
