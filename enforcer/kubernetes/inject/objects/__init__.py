"""The objects beside a workload that injection reads and changes: Services, network policies, autoscalers."""
