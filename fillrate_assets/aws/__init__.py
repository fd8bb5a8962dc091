"""Amazon's services: clients, secrets, Athena, SNS. What is stored there belongs to `storage` and the areas."""
